# Copy to terraform.tfvars and fill in. No secrets belong here.
account_id   = "123456789012"
domain       = "staging.sluice.example"
zone_id      = "Z0123456789ABCDEFGHIJ"
image_tag    = "0.1.0"
alarm_emails = ["on-call@sluice.example"]
