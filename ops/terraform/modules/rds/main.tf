resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Data subnets of ${var.name}"
  subnet_ids  = var.subnets
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres18"
  family      = "postgres18"
  description = "Sluice ${var.name}"

  dynamic "parameter" {
    for_each = {
      "rds.force_ssl"                       = "1"
      "log_min_duration_statement"          = "500" # ms
      "log_lock_waits"                      = "1"
      "idle_in_transaction_session_timeout" = "60000" # ms: a forgotten transaction holds back vacuum
    }
    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-rds-monitoring"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  port           = 5432

  # RDS makes the master password, keeps it in Secrets Manager and rotates it; only the task that sets up roles reads it.
  username                      = "sluice_master"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arn

  storage_type          = "gp3"
  allocated_storage     = var.storage_gib
  max_allocated_storage = var.storage_gib_max
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  multi_az               = true
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [var.security_group]
  parameter_group_name   = aws_db_parameter_group.this.name

  # Point-in-time recovery reaches back so many days; AWS Backup keeps copies of its own beside it.
  backup_retention_period   = var.backup_days
  backup_window             = "02:00-02:45"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"

  auto_minor_version_upgrade      = true
  allow_major_version_upgrade     = false
  apply_immediately               = false
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.key_arn
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn

  tags = { Backup = var.name }

  depends_on = [aws_iam_role_policy_attachment.monitoring]
}
