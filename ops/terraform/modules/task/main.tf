# One task definition: the program, and beside it, where it has figures to tell, an agent that carries them to CloudWatch.
locals {
  log = { for stream in [var.service, "metrics-agent"] : stream => {
    logDriver = "awslogs"
    options = {
      awslogs-group         = var.log_group
      awslogs-region        = var.region
      awslogs-stream-prefix = stream
      mode                  = "non-blocking" # a slow CloudWatch must not hold up the program
      max-buffer-size       = "25m"
    }
  } }

  program = {
    name                   = var.service
    image                  = var.image
    essential              = true
    command                = var.command
    user                   = var.user
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_s
    environment            = [for name in sort(keys(var.environment)) : { name = name, value = var.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
    portMappings           = [for port in var.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
    mountPoints            = [for name in sort(keys(var.writable)) : { sourceVolume = name, containerPath = var.writable[name], readOnly = false }]
    volumesFrom            = []
    systemControls         = []
    logConfiguration       = local.log[var.service]
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { add = [], drop = ["ALL"] }
    }
  }

  labelled = var.schema_revision == null ? {} : { dockerLabels = { "sluice.schema" = var.schema_revision } }

  healthy = var.health == null ? {} : { healthCheck = {
    command     = var.health
    interval    = 10
    timeout     = 5
    retries     = 3
    startPeriod = 60
  } }
}

resource "aws_ecs_task_definition" "this" {
  family                   = "${var.name}-${var.service}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  execution_role_arn       = var.roles.execution
  task_role_arn            = var.roles.task
  skip_destroy             = true # earlier revisions stay: they are what a rollback goes back to
  container_definitions    = jsonencode(concat([merge(local.program, local.labelled, local.healthy)], local.agents))

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  dynamic "volume" {
    for_each = toset(keys(var.writable))
    content {
      name = volume.key
    }
  }
}
