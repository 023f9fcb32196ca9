# PostgreSQL, Redis, RabbitMQ; their passwords, and the addresses that services are given.
module "secrets" {
  source        = "../secrets"
  name          = local.name
  key_arn       = module.encryption.key_arn
  recovery_days = var.secret_recovery_days
  rotations     = var.password_rotations
  manual = merge(
    { signing-key = "Key that the gateway signs tokens with" },
    { for provider in var.data_providers : "${provider}-api-key" => "API key of the data provider ${provider}" },
  )
}

module "rds" {
  source              = "../rds"
  name                = local.name
  account_id          = var.account_id
  instance_class      = var.database.instance_class
  storage_gib         = var.database.storage_gib
  storage_gib_max     = var.database.storage_gib_max
  backup_days         = var.database.backup_days
  deletion_protection = var.deletion_protection
  subnets             = module.network.data_subnets
  security_group      = module.network.groups["database"]
  key_arn             = module.encryption.key_arn
}

module "redis" {
  source         = "../redis"
  name           = local.name
  node_type      = var.redis.node_type
  replicas       = var.redis.replicas
  password       = module.secrets.passwords["redis"]
  subnets        = module.network.data_subnets
  security_group = module.network.groups["redis"]
  key_arn        = module.encryption.key_arn
}

module "mq" {
  source              = "../mq"
  name                = local.name
  instance_type       = var.broker.instance_type
  cluster             = var.broker.cluster
  password_arn        = module.secrets.passwords["broker"].arn
  deletion_protection = var.deletion_protection
  subnets             = module.network.data_subnets
  security_group      = module.network.groups["broker"]
  key_arn             = module.encryption.key_arn
}

module "addresses" {
  source        = "../addresses"
  name          = local.name
  key_arn       = module.encryption.key_arn
  recovery_days = var.secret_recovery_days
  stores = { for store, address in {
    database = { scheme = "postgresql", place = "${module.rds.address}:5432/sluice?sslmode=require" }
    redis    = { scheme = "rediss", place = "${module.redis.address}:6379/0" }
    broker   = { scheme = "amqps", place = "${module.mq.place}/%2F" }
    } : store => {
    scheme           = address.scheme
    place            = address.place
    password_arn     = module.secrets.passwords[store].arn
    password_version = module.secrets.passwords[store].version
    rotation         = var.password_rotations[store]
  } }
}
