"""From a request to its key: canonical forms, scopes and normalised wording."""
