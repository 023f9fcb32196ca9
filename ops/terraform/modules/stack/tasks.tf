# Tasks that are run by hand or by a pipeline, once for each release, before the services follow (docs/DEPLOYMENT.md).
module "migrate" {
  source           = "../task"
  name             = local.name
  region           = var.region
  environment_name = var.environment
  service          = "migrate"
  image            = "${local.registry}/app:${coalesce(var.task_image_tag, var.image_tag)}"
  command          = ["migrate"]
  user             = "10001:10001"
  cpu              = 512
  memory           = 1024
  stop_s           = 120
  environment      = { for key, value in local.common : key => value if !contains(["SLUICE_METRICS_PORT", "SLUICE_CLOUDWATCH_GROUP"], key) }
  secrets          = local.urls # settings ask for all three addresses or none; only the database is opened
  writable         = { tmp = "/tmp", var = "/var/lib/sluice" }
  roles            = module.iam.roles["migrate"]
  log_group        = module.logs.names["tasks"]
}

# Makes Sluice's own role, which is no superuser, and sets its password: at the first deployment and at each rotation.
module "roles" {
  source           = "../task"
  name             = local.name
  region           = var.region
  environment_name = var.environment
  service          = "roles"
  image            = var.postgres_image
  command          = ["sh", "-ceu", file("${path.module}/roles.sh")]
  user             = "999:999"
  cpu              = 256
  memory           = 512
  stop_s           = 30
  environment = {
    PGHOST            = module.rds.address
    PGPORT            = "5432"
    PGUSER            = "sluice_master"
    PGDATABASE        = "postgres"
    PGSSLMODE         = "require"
    PGCONNECT_TIMEOUT = "10"
  }
  secrets = {
    PGPASSWORD         = "${module.rds.master_secret_arn}:password::"
    SLUICE_DB_PASSWORD = "${module.secrets.passwords["database"].arn}:password::"
  }
  writable  = { tmp = "/tmp" }
  roles     = module.iam.roles["roles"]
  log_group = module.logs.names["tasks"]
}
