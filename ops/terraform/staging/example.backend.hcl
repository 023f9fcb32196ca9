# Copy to backend.hcl: bucket and key are outputs of bootstrap.
bucket     = "sluice-state-123456789012"
kms_key_id = "alias/sluice-state"
region     = "eu-west-1"
