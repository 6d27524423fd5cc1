# terraform test, tofu test: no cluster. What a cluster makes of it: tests/deploy/test_terraform.py.

mock_provider "kubectl" {}

variables {
  chart         = "oci://registry.example.org/charts/git-lakehouse"
  chart_version = "0.1.0"
  quota = {
    "requests.cpu"            = "16"
    "requests.memory"         = "64Gi"
    "limits.memory"           = "64Gi"
    "pods"                    = "50"
    "requests.nvidia.com/gpu" = "8"
  }
  priority_classes = {
    night = { value = 1000, preempts = true, description = "Nights" }
    batch = { value = 100, description = "All else" }
  }
  secrets = { "git-lakehouse-hdfs" = ["krb5.conf", "keytab"] }
}

run "objects" {
  command = plan

  assert {
    condition     = kubectl_manifest.namespace.apply_only
    error_message = "Terraform would delete the namespace, and all claims in it."
  }
  assert {
    condition     = yamldecode(kubectl_manifest.namespace.yaml_body).metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"
    error_message = "The namespace allows what the chart does not need."
  }
  assert {
    condition     = yamldecode(kubectl_manifest.quota.yaml_body).spec.hard["requests.nvidia.com/gpu"] == "8"
    error_message = "The quota is not what was asked for."
  }
  assert {
    condition     = yamldecode(kubectl_manifest.priority["batch"].yaml_body).preemptionPolicy == "Never"
    error_message = "A class preempts that was not told to."
  }
  assert {
    condition     = output.secrets == { "git-lakehouse-hdfs" = "kubectl create secret generic git-lakehouse-hdfs --namespace git-lakehouse --from-file=keytab --from-file=krb5.conf" }
    error_message = "Whoever puts the secret there does not learn how."
  }
}

run "a_namespace_of_others_is_refused" {
  command = plan
  variables {
    namespace = "kube-system"
  }
  expect_failures = [var.namespace]
}

run "a_quota_without_memory_is_refused" {
  command = plan
  variables {
    quota = { "requests.cpu" = "16", "pods" = "50" }
  }
  expect_failures = [var.quota]
}

run "an_amount_that_is_none_is_refused" {
  command = plan
  variables {
    quota = { "requests.cpu" = "16 cores", "requests.memory" = "64Gi", "limits.memory" = "64Gi", "pods" = "50" }
  }
  expect_failures = [var.quota]
}

run "a_class_of_the_system_is_refused" {
  command = plan
  variables {
    priority_classes = { "system-night" = { value = 1000, description = "Nights" } }
  }
  expect_failures = [var.priority_classes]
}

run "a_value_of_a_secret_is_refused" {
  command = plan
  variables {
    secrets = { "git-lakehouse-tokens" = ["GITHUB_TOKEN=hunter2"] }
  }
  expect_failures = [var.secrets]
}

run "a_chart_without_a_version_is_refused" {
  command = plan
  variables {
    chart_version = null
  }
  expect_failures = [var.chart_version]
}

run "values_that_are_no_mapping_are_refused" {
  command = plan
  variables {
    values = ["- a list"]
  }
  expect_failures = [var.values]
}

run "a_pod_security_that_is_none_is_refused" {
  command = plan
  variables {
    pod_security = "strict"
  }
  expect_failures = [var.pod_security]
}
