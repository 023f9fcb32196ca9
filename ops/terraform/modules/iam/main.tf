# Two roles for each service: *execution* (ECS itself: fetch the image, read this service's secrets, write its log) and
# *task* (what the program may do: ship logs and metrics, nothing else).  Resources are named, so that a plan shows them.
locals {
  logs    = "arn:aws:logs:${var.region}:${var.account_id}:log-group"
  secrets = "arn:aws:secretsmanager:${var.region}:${var.account_id}:secret"

  trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:${var.region}:${var.account_id}:*" }
      }
    }]
  })

  read_secrets = { for service, given in var.services : service => concat(
    length(given.secrets) == 0 ? [] : [{
      Sid    = "OwnSecrets"
      Effect = "Allow"
      Action = ["secretsmanager:GetSecretValue"]
      # Secrets Manager ends every ARN with a hyphen and six characters of its own.
      Resource = [for secret in given.secrets : "${local.secrets}:${var.name}/${secret}-??????"]
    }],
    given.database_master == null ? [] : [{
      Sid       = "MasterPasswordThatRdsKeeps"
      Effect    = "Allow"
      Action    = ["secretsmanager:GetSecretValue"]
      Resource  = ["${local.secrets}:rds!db-*"]
      Condition = { StringEquals = { "aws:ResourceTag/aws:rds:primaryDBInstanceArn" = given.database_master } }
    }],
    length(given.secrets) == 0 ? [] : [{
      Sid      = "DecryptThem"
      Effect   = "Allow"
      Action   = ["kms:Decrypt"]
      Resource = ["arn:aws:kms:${var.region}:${var.account_id}:key/*"]
      Condition = {
        StringEquals               = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" }
        "ForAnyValue:StringEquals" = { "kms:ResourceAliases" = var.key_alias }
      }
    }],
  ) }
}

resource "aws_iam_role" "execution" {
  for_each           = var.services
  name               = "${var.name}-${each.key}-execution"
  description        = "ECS on behalf of Sluice ${each.key}"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "execution" {
  for_each = var.services
  name     = "start"
  role     = aws_iam_role.execution[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "RegistryLogin" # knows no resources
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "OwnImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = ["arn:aws:ecr:${var.region}:${var.account_id}:repository/${var.name}/${each.value.image}"]
        },
        {
          Sid      = "OwnLog"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${local.logs}:${each.value.log_group}:*"]
        },
      ],
      local.read_secrets[each.key],
    )
  })
}

resource "aws_iam_role" "task" {
  for_each           = var.services
  name               = "${var.name}-${each.key}-task"
  description        = "Sluice ${each.key} itself"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "task" {
  for_each = { for service, given in var.services : service => given if length(given.ships_to) > 0 }
  name     = "ship"
  role     = aws_iam_role.task[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ShipLogsAndMetrics"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = [for group in each.value.ships_to : "${local.logs}:${group}:*"]
    }]
  })
}
