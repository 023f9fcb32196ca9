# CloudWatch agent as a sidecar: scrapes the program's own /metrics on loopback every 30 s, picks the few series that
# alarms and scaling look at, and writes them as embedded metrics to the log group `metrics`, from which CloudWatch makes
# metrics of the namespace Sluice.  A gauge goes out as it is, a counter as its growth since the last scrape.
locals {
  scrape = yamlencode({
    global = { scrape_interval = "30s", scrape_timeout = "10s" }
    scrape_configs = [{
      job_name = "sluice"
      static_configs = [{
        targets = ["127.0.0.1:${var.metrics_port}"]
        labels  = { Environment = var.environment_name }
      }]
      metric_relabel_configs = [{ source_labels = ["queue"], target_label = "Queue" }]
    }]
  })

  carry = jsonencode({
    agent = { region = var.region }
    logs = {
      force_flush_interval = 5
      metrics_collected = {
        prometheus = {
          log_group_name         = var.metrics_group
          prometheus_config_path = "env:PROMETHEUS_CONFIG_CONTENT"
          emf_processor = {
            metric_namespace         = "Sluice"
            metric_declaration_dedup = true
            metric_declaration = [for set in var.metrics : {
              source_labels    = ["job"]
              label_matcher    = "^sluice$"
              dimensions       = [set.dimensions]
              metric_selectors = [for name in set.names : "^${name}$"]
            }]
          }
        }
      }
    }
  })

  agent = {
    name      = "metrics-agent"
    image     = var.agent_image
    essential = false # without it figures are missing and alarms say so; the program goes on
    cpu       = 64
    memory    = 128
    # The agent unpacks its configuration under its own folder: its file system cannot be read-only.
    readonlyRootFilesystem = false
    stopTimeout            = 30
    environment = [
      { name = "CW_CONFIG_CONTENT", value = local.carry },
      { name = "PROMETHEUS_CONFIG_CONTENT", value = local.scrape },
    ]
    dependsOn        = [{ containerName = var.service, condition = "START" }]
    portMappings     = []
    mountPoints      = []
    volumesFrom      = []
    systemControls   = []
    logConfiguration = local.log["metrics-agent"]
  }

  agents = [for agent in [local.agent] : agent if length(var.metrics) > 0]
}
