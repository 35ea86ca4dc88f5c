metadata description = 'Alerts on metrics.'

param namePrefix string
param tags object
param email string
param thresholds object
param serviceBusId string
param inputQueues array
param rejectedQueue string
param dpsId string
param applicationInsightsId string

@description('Values of the dimension Status of a registration that did not fail. Microsoft does not publish them.')
param succeededStatuses array = ['Success', 'Succeeded', 'Assigned', 'Assigning']

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${namePrefix}-operators'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'enrollment'
    emailReceivers: empty(email) ? [] : [
      {
        name: 'operators'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

var allQueues = union(inputQueues, [rejectedQueue])
var severities = { error: 1, warning: 2 }

// One metric above a threshold. A rule with several queues raises one alert for each of them.
var rules = [
  {
    name: 'dead-lettered'
    description: 'Messages are dead-lettered: the app itself failed on them, or they expired. docs/messages.md, Troubleshooting.'
    severity: severities.error
    scope: serviceBusId
    namespace: 'Microsoft.ServiceBus/namespaces'
    metric: 'DeadletteredMessages'
    aggregation: 'Maximum'
    threshold: thresholds.deadLetteredMessages
    window: 'PT5M'
    dimensions: [{ name: 'EntityName', operator: 'Include', values: allQueues }]
  }
  {
    name: 'rejected'
    description: 'Requests were rejected. GET /rejected lists them with their reasons.'
    severity: severities.warning
    scope: serviceBusId
    namespace: 'Microsoft.ServiceBus/namespaces'
    metric: 'ActiveMessages'
    aggregation: 'Maximum'
    threshold: thresholds.rejectedMessages
    window: 'PT5M'
    dimensions: [{ name: 'EntityName', operator: 'Include', values: [rejectedQueue] }]
  }
  {
    // With a wrong credential every request is postponed: all are scheduled, and the queue looks empty.
    name: 'postponed'
    description: 'Requests stay postponed: DPS refuses the credential, cannot be reached, or its quota is used up. See GET /health/ready.'
    severity: severities.error
    scope: serviceBusId
    namespace: 'Microsoft.ServiceBus/namespaces'
    metric: 'ScheduledMessages'
    aggregation: 'Minimum'
    threshold: thresholds.scheduledMessages
    window: 'PT30M'
    dimensions: [{ name: 'EntityName', operator: 'Include', values: inputQueues }]
  }
  {
    name: 'failed-registrations'
    description: 'Devices fail to register. docs/allocation.md, Troubleshooting.'
    severity: severities.warning
    scope: dpsId
    namespace: 'Microsoft.Devices/provisioningServices'
    metric: 'RegistrationAttempts'
    aggregation: 'Total'
    threshold: thresholds.failedRegistrations
    window: 'PT15M'
    dimensions: [{ name: 'Status', operator: 'Exclude', values: succeededStatuses }]
  }
  {
    name: 'failed-requests'
    description: 'Functions fail: see Failures in Application Insights.'
    severity: severities.warning
    scope: applicationInsightsId
    namespace: 'Microsoft.Insights/components'
    metric: 'requests/failed'
    aggregation: 'Count'
    threshold: thresholds.failedRequests
    window: 'PT15M'
    dimensions: []
  }
]

resource alerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for rule in rules: {
  name: '${namePrefix}-${rule.name}'
  location: 'global'
  tags: tags
  properties: {
    description: rule.description
    severity: rule.severity
    enabled: true
    scopes: [rule.scope]
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: rule.name
          metricNamespace: rule.namespace
          metricName: rule.metric
          timeAggregation: rule.aggregation
          operator: 'GreaterThan'
          threshold: rule.threshold
          dimensions: rule.dimensions
          // A metric does not exist before its first value: in a new DPS, before the first registration.
          skipMetricValidation: true
        }
      ]
    }
    actions: [{ actionGroupId: actionGroup.id }]
  }
}]

// Service Bus has no metric of a message's age. A queue that is never empty and completes nothing is stuck.
resource stuck 'Microsoft.Insights/metricAlerts@2018-03-01' = [for queue in inputQueues: {
  name: '${namePrefix}-stuck-${queue}'
  location: 'global'
  tags: tags
  properties: {
    description: 'Requests wait in ${queue} and none is completed: is the app running, and its function enabled?'
    severity: severities.error
    enabled: true
    scopes: [serviceBusId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT30M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'waiting'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'ActiveMessages'
          timeAggregation: 'Minimum'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'EntityName', operator: 'Include', values: [queue] }]
          skipMetricValidation: true
        }
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'completed'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'CompleteMessage'
          timeAggregation: 'Total'
          operator: 'LessThan'
          threshold: 1
          dimensions: [{ name: 'EntityName', operator: 'Include', values: [queue] }]
          skipMetricValidation: true
        }
      ]
    }
    actions: [{ actionGroupId: actionGroup.id }]
  }
}]

output actionGroupId string = actionGroup.id
