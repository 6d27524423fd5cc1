terraform {
  required_version = ">= 1.9" # validations that read other variables

  required_providers {
    kubectl = {
      source  = "gavinbunney/kubectl"
      version = "~> 1.19"
    }
  }
}
