# Three for each queue, so that the alarm's name says where work stands still.
locals {
  # The alarm's name keeps to letters, digits and hyphens.
  slugs = { for queue in var.queues : replace(queue, ".", "-") => queue }

  queues = merge(
    { for slug, queue in local.slugs : "queue-depth-${slug}" => merge(local.told, {
      kind      = "queue-depth"
      why       = "For 15 minutes ${var.queue_depth} messages were waiting in ${queue}: more comes in than goes out."
      threshold = var.queue_depth
      of        = 15
      silence   = "missing"
      metrics   = { m = { namespace = "Sluice", name = "sluice_queue_ready", dimensions = merge(local.here, { Queue = queue }) } }
    }) },
    { for slug, queue in local.slugs : "queue-oldest-age-${slug}" => merge(local.told, {
      kind      = "queue-oldest-age"
      why       = "For five minutes the oldest message in ${queue} had been waiting for ten minutes."
      threshold = 600
      of        = 5
      silence   = "missing"
      metrics   = { m = { namespace = "Sluice", name = "sluice_queue_oldest_seconds", dimensions = merge(local.here, { Queue = queue }) } }
    }) },
    { for slug, queue in local.slugs : "queue-no-consumers-${slug}" => merge(local.told, {
      kind      = "queue-no-consumers"
      why       = "For five minutes nobody took messages from ${queue}, or nobody could tell who does."
      compare   = "LessThanThreshold"
      threshold = 1
      of        = 5
      silence   = "breaching"
      metrics   = { m = { namespace = "Sluice", name = "sluice_queue_consumers", dimensions = merge(local.here, { Queue = queue }) } }
    }) },
  )
}
