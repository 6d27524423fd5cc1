"""Lists of repositories that forges give: which page to ask for next, what a page says, and pages on the storage."""
