# As production in shape, small in size: what is tried here is what runs there.
module "stack" {
  source = "../modules/stack"

  environment           = "staging"
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

  cidr                 = "10.20.0.0/16"
  single_nat           = true
  log_retention_days   = 7
  secret_recovery_days = 7

  services = {
    frontend   = { cpu = 256, memory = 512, min = 1, max = 2 }
    backend    = { cpu = 512, memory = 1024, min = 2, max = 4 }
    workers    = { cpu = 1024, memory = 2048, min = 1, max = 4 }
    dispatcher = { cpu = 256, memory = 512, min = 1, max = 1 }
  }

  # A worker takes a few messages a second: 25 wait some seconds for it.
  backlog_per_worker = 25
  queue_depth        = 1000

  database = {
    instance_class  = "db.t4g.medium"
    storage_gib     = 50
    storage_gib_max = 200
    backup_days     = 7
  }

  redis  = { node_type = "cache.t4g.small", replicas = 1 }
  broker = { instance_type = "mq.m7g.medium", cluster = false }
}
