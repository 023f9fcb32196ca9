# Names and places of every secret.  No value passes through here into a plan or a state file:
# - what people know (provider keys, the signing key) is put in by hand, see docs/SECRETS.md;
# - what nobody needs to know is made by Secrets Manager itself, travels through an ephemeral resource and is written by a
#   write-only argument.  Raise `rotation` of a password to have it made anew.
resource "aws_secretsmanager_secret" "manual" {
  for_each                = var.manual
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret" "password" {
  for_each                = var.rotations
  name                    = "${var.name}/${each.key}-password"
  description             = "Made by Secrets Manager, rotation ${each.value}"
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}

# Letters and digits only: the password travels inside an address.
ephemeral "aws_secretsmanager_random_password" "this" {
  for_each            = var.rotations
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "password" {
  for_each  = var.rotations
  secret_id = aws_secretsmanager_secret.password[each.key].id
  secret_string_wo = jsonencode({
    password = ephemeral.aws_secretsmanager_random_password.this[each.key].random_password
  })
  secret_string_wo_version = each.value
}
