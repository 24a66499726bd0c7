"""HTTP for editors and plug-ins that speak it instead of the language server protocol."""
