# One key for everything of one environment that is at rest: logs, database, Redis, broker, secrets, backups, topics.
locals {
  root = "arn:aws:iam::${var.account_id}:root"

  statements = [
    {
      Sid       = "AccountDecidesByIam"
      Effect    = "Allow"
      Principal = { AWS = local.root }
      Action    = "kms:*"
      Resource  = "*"
    },
    {
      Sid       = "LogGroupsOfThisEnvironment"
      Effect    = "Allow"
      Principal = { Service = "logs.${var.region}.amazonaws.com" }
      Action    = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
      Resource  = "*"
      Condition = {
        ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.region}:${var.account_id}:log-group:*" }
      }
    },
    {
      # Without it an alarm cannot write to the encrypted topic, and nobody hears of it.
      Sid       = "AlarmsAndEventsWriteToTheTopic"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
      Resource  = "*"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    },
  ]
}

resource "aws_kms_key" "this" {
  description             = "Everything of ${var.name} that is at rest"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
