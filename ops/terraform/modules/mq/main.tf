# The AWS provider would keep the broker's password in the state file.  CloudFormation fetches it from Secrets Manager
# itself, so this one resource is a stack.  Amazon MQ does not take a new password for RabbitMQ from here: rotate it in the
# broker's own management interface (docs/runbook), which is why no version is named.
resource "aws_cloudformation_stack" "broker" {
  name          = "${var.name}-broker"
  on_failure    = "ROLLBACK"
  template_body = local.template

  timeouts {
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}

locals {
  template = jsonencode({
    Description = "RabbitMQ of ${var.name}"
    Resources = {
      Broker = {
        Type = "AWS::AmazonMQ::Broker"
        # A template that loses the broker must not lose the broker.
        DeletionPolicy      = var.deletion_protection ? "Retain" : "Delete"
        UpdateReplacePolicy = "Retain"
        Properties = {
          BrokerName              = var.name
          EngineType              = "RABBITMQ"
          EngineVersion           = var.engine_version
          HostInstanceType        = var.instance_type
          DeploymentMode          = var.cluster ? "CLUSTER_MULTI_AZ" : "SINGLE_INSTANCE"
          AuthenticationStrategy  = "SIMPLE"
          AutoMinorVersionUpgrade = true
          PubliclyAccessible      = false
          SubnetIds               = var.cluster ? var.subnets : [var.subnets[0]]
          SecurityGroups          = [var.security_group]
          EncryptionOptions       = { UseAwsOwnedKey = false, KmsKeyId = var.key_arn }
          Logs                    = { General = true }
          MaintenanceWindowStartTime = {
            DayOfWeek = "SUNDAY"
            TimeOfDay = "05:30"
            TimeZone  = "UTC"
          }
          Users = [{
            Username = "sluice"
            Password = "{{resolve:secretsmanager:${var.password_arn}:SecretString:password}}"
          }]
        }
      }
    }
    Outputs = {
      Address = { Value = { "Fn::Select" = [0, { "Fn::GetAtt" = ["Broker", "AmqpEndpoints"] }] } }
      Id      = { Value = { Ref = "Broker" } }
    }
  })
}
