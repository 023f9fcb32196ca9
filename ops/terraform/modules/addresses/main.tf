# SLUICE_DATABASE_URL, SLUICE_REDIS_URL and SLUICE_BROKER_URL as secrets: where a store is, and the password that Secrets
# Manager made for it.  The password is read and written again without touching plan or state.
ephemeral "aws_secretsmanager_secret_version" "password" {
  for_each   = var.stores
  secret_id  = each.value.password_arn
  version_id = each.value.password_version
}

resource "aws_secretsmanager_secret" "url" {
  for_each                = var.stores
  name                    = "${var.name}/${each.key}-url"
  description             = "Address of the ${each.key}, with its password"
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "url" {
  for_each  = var.stores
  secret_id = aws_secretsmanager_secret.url[each.key].id
  secret_string_wo = join("", [
    "${each.value.scheme}://sluice:",
    jsondecode(ephemeral.aws_secretsmanager_secret_version.password[each.key].secret_string).password,
    "@${each.value.place}",
  ])
  secret_string_wo_version = each.value.rotation
}
