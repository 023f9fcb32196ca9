resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Data subnets of ${var.name}"
  subnet_ids  = var.subnets
}

# Limits, budgets and counts are kept here, not a cache: a full Redis must refuse, never forget.
resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-redis7"
  family      = "redis7"
  description = "Sluice ${var.name}: nothing is evicted"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# The password is in neither this configuration nor its state: CloudFormation is told where it lies and fetches it itself.
# Naming the version makes CloudFormation fetch again when the password was made anew.
resource "aws_cloudformation_stack" "users" {
  name = "${var.name}-redis-users"
  template_body = jsonencode({
    Description = "Who may use Redis of ${var.name}"
    Resources = {
      # ElastiCache wants a user named default in every group: this one can log in to nothing.
      Nobody = {
        Type = "AWS::ElastiCache::User"
        Properties = {
          UserId             = "${var.name}-nobody"
          UserName           = "default"
          Engine             = "redis"
          AccessString       = "off -@all"
          NoPasswordRequired = true
        }
      }
      Sluice = {
        Type = "AWS::ElastiCache::User"
        Properties = {
          UserId       = "${var.name}-app"
          UserName     = "sluice"
          Engine       = "redis"
          AccessString = "on ~* &* +@all -@admin -@dangerous +info"
          Passwords = [
            "{{resolve:secretsmanager:${var.password.arn}:SecretString:password::${var.password.version}}}",
          ]
        }
      }
      Group = {
        Type      = "AWS::ElastiCache::UserGroup"
        DependsOn = ["Nobody", "Sluice"]
        Properties = {
          UserGroupId = var.name
          Engine      = "redis"
          UserIds     = ["${var.name}-nobody", "${var.name}-app"]
        }
      }
    }
    Outputs = { Group = { Value = { Ref = "Group" } } }
  })
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Sluice ${var.name}"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.node_type
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this.name

  num_node_groups            = 1
  replicas_per_node_group    = var.replicas
  multi_az_enabled           = true
  automatic_failover_enabled = true

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [var.security_group]

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  user_group_ids             = [aws_cloudformation_stack.users.outputs["Group"]]

  snapshot_retention_limit   = 7
  snapshot_window            = "01:00-02:00"
  maintenance_window         = "sun:04:30-sun:05:30"
  auto_minor_version_upgrade = true
  apply_immediately          = false
}
