"""Make keys, sign bundles, and find out who signed one. Needs the package `cryptography` and the contract."""
