# Every log group there is, made before what writes to it: a group that AWS makes itself is kept for ever, unencrypted.
resource "aws_cloudwatch_log_group" "this" {
  for_each          = var.groups
  name              = each.value
  retention_in_days = var.retention_days
  kms_key_id        = var.key_arn
}
