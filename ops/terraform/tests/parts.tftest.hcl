# What single modules promise, tried with a mocked AWS: terraform init && terraform test, in this folder
mock_provider "aws" {}

run "eight_alarms_by_name_and_their_thresholds" {
  command = plan

  module {
    source = "../modules/alarms"
  }

  variables {
    name                 = "sluice-test"
    environment          = "test"
    topic_arn            = "arn:aws:sns:eu-west-1:123456789012:sluice-test-alarms"
    runbook              = "docs/runbook/alarms"
    cluster              = "sluice-test"
    database             = "sluice-test"
    database_storage_gib = 100
    redis_nodes          = ["sluice-test-001", "sluice-test-002"]
    broker               = "sluice-test"
    load_balancer        = "app/sluice-test/0123456789abcdef"
    target_groups        = { backend = "targetgroup/sluice-test-backend/0123456789abcdef" }
    certificate          = "arn:aws:acm:eu-west-1:123456789012:certificate/test"
    queues               = ["dedup", "fetch.nansen"]
    queue_depth          = 1000
  }

  assert {
    condition = alltrue([for name, threshold in {
      backend-cpu     = 80
      backend-memory  = 80
      frontend-cpu    = 80
      frontend-memory = 80
      rds-cpu         = 80
      rds-storage     = 20 * 1024 * 1024 * 1024
      redis-cpu       = 80
      redis-memory    = 75
    } : aws_cloudwatch_metric_alarm.this[name].threshold == threshold])
    error_message = "One of the eight alarms is missing or has another threshold."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : strcontains(alarm.alarm_description, "Runbook: docs/runbook/alarms/")])
    error_message = "An alarm does not name its runbook page."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["queue-no-consumers-fetch-nansen"].treat_missing_data == "breaching"
    error_message = "Silence about consumers must alarm."
  }
}

run "a_service_rolls_back_by_itself" {
  command = plan

  module {
    source = "../modules/service"
  }

  variables {
    service               = "backend"
    cluster_arn           = "arn:aws:ecs:eu-west-1:123456789012:cluster/sluice-test"
    task_definition       = "arn:aws:ecs:eu-west-1:123456789012:task-definition/sluice-test-backend:1"
    desired_count         = 2
    rollback_alarms       = ["sluice-test-http-5xx"]
    subnets               = ["subnet-0123456789abcdef0"]
    security_group        = "sg-0123456789abcdef0"
    wait_for_steady_state = true
  }

  assert {
    condition     = aws_ecs_service.this.deployment_circuit_breaker[0].enable && aws_ecs_service.this.deployment_circuit_breaker[0].rollback
    error_message = "The deployment circuit breaker must take a deployment back."
  }

  assert {
    condition     = aws_ecs_service.this.alarms[0].rollback && contains(aws_ecs_service.this.alarms[0].alarm_names, "sluice-test-http-5xx")
    error_message = "Alarms must take a deployment back."
  }

  assert {
    condition     = aws_ecs_service.this.deployment_minimum_healthy_percent == 100
    error_message = "A deployment must never leave fewer tasks than there should be."
  }

  assert {
    condition     = !aws_ecs_service.this.network_configuration[0].assign_public_ip
    error_message = "No task has a public address."
  }
}

run "a_service_without_rollback_alarms_is_refused" {
  command = plan

  module {
    source = "../modules/service"
  }

  variables {
    service               = "backend"
    cluster_arn           = "arn:aws:ecs:eu-west-1:123456789012:cluster/sluice-test"
    task_definition       = "arn:aws:ecs:eu-west-1:123456789012:task-definition/sluice-test-backend:1"
    desired_count         = 2
    rollback_alarms       = []
    subnets               = ["subnet-0123456789abcdef0"]
    security_group        = "sg-0123456789abcdef0"
    wait_for_steady_state = true
  }

  expect_failures = [var.rollback_alarms]
}

run "a_task_runs_as_nobody_on_a_read_only_disk" {
  command = plan

  module {
    source = "../modules/task"
  }

  variables {
    name             = "sluice-test"
    region           = "eu-west-1"
    environment_name = "test"
    service          = "dispatcher"
    image            = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/sluice-test/app:1"
    command          = ["dispatch"]
    user             = "10001:10001"
    cpu              = 256
    memory           = 512
    stop_s           = 60
    secrets          = { SLUICE_DATABASE_URL = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:url-AbCdEf" }
    writable         = { tmp = "/tmp" }
    roles            = { execution = "arn:aws:iam::123456789012:role/execution", task = "arn:aws:iam::123456789012:role/task" }
    log_group        = "/sluice/test/dispatcher"
    metrics_group    = "/sluice/test/metrics"
    metrics          = [{ names = ["sluice_queue_ready"], dimensions = ["Environment", "Queue"] }]
  }

  assert {
    condition = alltrue([
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].readonlyRootFilesystem,
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].user == "10001:10001",
      jsondecode(aws_ecs_task_definition.this.container_definitions)[0].linuxParameters.capabilities.drop[0] == "ALL",
    ])
    error_message = "The program must run without root, capabilities, or a disk to write to."
  }

  assert {
    condition     = jsondecode(jsondecode(aws_ecs_task_definition.this.container_definitions)[1].environment[0].value).logs.metrics_collected.prometheus.emf_processor.metric_namespace == "Sluice"
    error_message = "The agent must carry figures to the namespace that alarms look at."
  }
}

run "a_task_as_root_is_refused" {
  command = plan

  module {
    source = "../modules/task"
  }

  variables {
    name             = "sluice-test"
    region           = "eu-west-1"
    environment_name = "test"
    service          = "dispatcher"
    image            = "image:1"
    user             = "0:0"
    cpu              = 256
    memory           = 512
    stop_s           = 60
    writable         = {}
    roles            = { execution = "arn:aws:iam::123456789012:role/execution", task = "arn:aws:iam::123456789012:role/task" }
    log_group        = "/sluice/test/dispatcher"
  }

  expect_failures = [var.user]
}
