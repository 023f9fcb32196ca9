# What people pay for: three zones, nothing that exists once.
module "stack" {
  source = "../modules/stack"

  environment           = "production"
  region                = var.region
  account_id            = var.account_id
  availability_zones    = var.availability_zones
  domain                = var.domain
  zone_id               = var.zone_id
  image_tag             = var.image_tag
  task_image_tag        = var.task_image_tag
  schema_revision       = var.schema_revision
  data_providers        = var.data_providers
  settings              = var.settings
  alarm_emails          = var.alarm_emails
  alarm_webhooks        = var.alarm_webhooks
  runbook_url           = var.runbook_url
  password_rotations    = var.password_rotations
  deletion_protection   = var.deletion_protection
  wait_for_steady_state = var.aws_endpoint == ""

  cidr                 = "10.10.0.0/16"
  single_nat           = false
  interface_endpoints  = ["ecr.api", "ecr.dkr", "logs", "secretsmanager"]
  log_retention_days   = 30
  secret_recovery_days = 30

  services = {
    frontend   = { cpu = 256, memory = 512, min = 2, max = 4 }
    backend    = { cpu = 1024, memory = 2048, min = 3, max = 12 }
    workers    = { cpu = 2048, memory = 4096, min = 3, max = 20 }
    dispatcher = { cpu = 512, memory = 1024, min = 2, max = 2 }
  }

  backlog_per_worker = 100
  queue_depth        = 5000

  database = {
    instance_class  = "db.r7g.large"
    storage_gib     = 200
    storage_gib_max = 2000
    backup_days     = 35
  }

  redis  = { node_type = "cache.r7g.large", replicas = 2 }
  broker = { instance_type = "mq.m7g.large", cluster = true }
}
