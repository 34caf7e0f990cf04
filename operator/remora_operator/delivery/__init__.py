"""The room of PolicyService and CertificateService."""
