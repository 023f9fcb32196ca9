# Where alarms go.  Subscriptions by mail must be confirmed by whoever gets them; docs/DEPLOYMENT.md has it on the list.
resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AlarmsAndEventsOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.alarms.arn
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = toset(var.emails)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.key
}

resource "aws_sns_topic_subscription" "webhook" {
  for_each  = toset(var.webhooks)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "https"
  endpoint  = each.key
}

# A deployment that was rolled back is news even though no alarm is left standing afterwards.
resource "aws_cloudwatch_event_rule" "failed_deployment" {
  name        = "${var.name}-failed-deployment"
  description = "A deployment of one of the services failed or was rolled back"
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Deployment State Change"]
    detail        = { eventName = ["SERVICE_DEPLOYMENT_FAILED"] }
    resources     = [{ prefix = "arn:aws:ecs:${var.region}:${var.account_id}:service/${var.name}/" }]
  })
}

resource "aws_cloudwatch_event_target" "failed_deployment" {
  rule = aws_cloudwatch_event_rule.failed_deployment.name
  arn  = aws_sns_topic.alarms.arn
}
