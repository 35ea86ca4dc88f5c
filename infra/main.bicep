metadata description = 'The enrollment functions with all that they need, watched by alerts. docs/deploy.md is the guide.'

targetScope = 'subscription'

@description('Name of the environment, such as test or production. Part of the names of all resources.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('Region of all new resources.')
param location string

@description('Tags of all new resources, beside azd-env-name.')
param tags object = {}

// The app ---------------------------------------------------------------------------------------------

@description('Python version of the app. The package has compiled modules for one version: use that one.')
@allowed(['3.11', '3.12', '3.13', '3.14'])
param pythonVersion string = '3.11'

@description('Values of optional settings by name. An empty value leaves the setting at its default.')
param settings object = {}

@description('Names of secrets in the key vault, by the name of the setting that gets the secret. Empty: not set.')
param keyVaultSettings object = {}

@description('Resource id of the existing key vault that holds the secrets. Needed only with keyVaultSettings.')
param keyVaultId string = ''

@description('Functions to switch off, such as the two queue functions of an app that only serves the webhook.')
param disabledFunctions array = []

@description('Resource id of a subnet delegated to Microsoft.App/environments, for outbound traffic. Empty: no virtual network.')
param subnetId string = ''

// Device Provisioning Service -------------------------------------------------------------------------

@description('Resource id of an existing DPS instance. Empty: a new one.')
param dpsId string = ''

@description('Resource ids of the IoT hubs to link to a new DPS instance.')
param linkedHubIds array = []

@description('Shared access policy of the linked hubs that DPS uses. It needs RegistryWrite and ServiceConnect.')
param linkedHubPolicy string = 'iothubowner'

// Service Bus -----------------------------------------------------------------------------------------

@description('Resource id of an existing Service Bus namespace. Empty: a new one.')
param serviceBusId string = ''

@description('Tier of a new namespace. Basic has no duplicate detection; Premium costs some hundred times as much as Standard.')
@allowed(['Standard', 'Premium'])
param serviceBusSku string = 'Standard'

param enrollmentRequestsQueue string = 'enrollment-requests'
param bulkOperationsQueue string = 'bulk-operations'
param enrollmentResultsQueue string = 'enrollment-results'
param enrollmentRejectedQueue string = 'enrollment-rejected'

@description('Further queues that a request may name in reply_to.')
param enrollmentReplyQueues array = []

@description('How long a result is kept if nobody receives it, as an ISO 8601 duration.')
param resultTimeToLive string = 'P14D'

@description('Size of each queue in MB.')
@allowed([1024, 2048, 3072, 4096, 5120])
param queueSizeMegabytes int = 5120

@description('Gives the app Data Owner on the two input queues, so that the platform can read the number of messages and start the instances of a backlog at once. Without it the platform adds instances step by step.')
param scaleByMessageCount bool = false

// Scaling ---------------------------------------------------------------------------------------------

@description('Always-ready instances by group: http (all HTTP functions) or function:<name>. They cost money while idle and spare the first caller a cold start.')
param alwaysReady object = {
  http: 1
  'function:enrollment_requests': 0
  'function:bulk_operations': 0
}

@description('Maximum number of instances of each group: of the HTTP functions, so of the allocation webhook too, and of each queue function. 40 is the lowest value that the plan accepts.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Concurrent HTTP requests of one instance. The platform default for Python is 1.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 16

@description('How a deployment or a changed setting replaces the instances. RollingUpdate is a preview.')
@allowed(['Recreate', 'RollingUpdate'])
param siteUpdateStrategy string = 'Recreate'

// Monitoring ------------------------------------------------------------------------------------------

@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Daily limit of ingested logs in GB; -1: none. Logs beyond it are lost until the next day.')
param dailyLogGigabytes int = -1

@description('Receiver of all alerts. Empty: alerts are only shown in the portal.')
param alertEmail string = ''

@description('Thresholds of the alerts: each fires above its value.')
param alertThresholds object = {
  deadLetteredMessages: 0
  rejectedMessages: 0
  scheduledMessages: 100
  failedRegistrations: 5
  failedRequests: 5
}

// Names are deterministic: another deployment of the same environment updates the same resources.
var token = toLower(uniqueString(subscription().id, environmentName, location))
var allTags = union(tags, { 'azd-env-name': environmentName })
var groupName = 'rg-${environmentName}'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: groupName
  location: location
  tags: allTags
}

module identity 'identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${token}'
    location: location
    tags: allTags
  }
}

module monitoring 'monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    applicationInsightsName: 'appi-${token}'
    location: location
    tags: allTags
    logRetentionDays: logRetentionDays
    dailyLogGigabytes: dailyLogGigabytes
    principalId: identity.outputs.principalId
  }
}

module storage 'storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: allTags
    principalId: identity.outputs.principalId
  }
}

module namespace 'namespace.bicep' = if (empty(serviceBusId)) {
  name: 'namespace'
  scope: group
  params: {
    name: 'sbns-${token}'
    location: location
    tags: allTags
    sku: serviceBusSku
  }
}

// An id is /subscriptions/<2>/resourceGroups/<4>/providers/<6>/<7>/<name>. A module whose scope is made of
// names says what it depends on.
var serviceBusScope = split(empty(serviceBusId) ? '${subscription().id}/resourceGroups/${groupName}' : serviceBusId, '/')
var serviceBusName = empty(serviceBusId) ? 'sbns-${token}' : last(split(serviceBusId, '/'))

module queues 'queues.bicep' = {
  name: 'queues-${token}'
  scope: resourceGroup(serviceBusScope[2], serviceBusScope[4])
  dependsOn: [group, namespace]
  params: {
    namespaceName: serviceBusName
    inputQueues: [enrollmentRequestsQueue, bulkOperationsQueue]
    rejectedQueue: enrollmentRejectedQueue
    resultQueues: union([enrollmentResultsQueue], enrollmentReplyQueues)
    resultTimeToLive: resultTimeToLive
    sizeMegabytes: queueSizeMegabytes
    scaleByMessageCount: scaleByMessageCount
    principalId: identity.outputs.principalId
  }
}

module newDps 'dps.bicep' = if (empty(dpsId)) {
  name: 'dps'
  scope: group
  params: {
    name: 'dps-${token}'
    location: location
    tags: allTags
    linkedHubIds: linkedHubIds
    linkedHubPolicy: linkedHubPolicy
  }
}

var dpsScope = split(empty(dpsId) ? '${subscription().id}/resourceGroups/${groupName}' : dpsId, '/')
var dpsName = empty(dpsId) ? 'dps-${token}' : last(split(dpsId, '/'))

module dpsAccess 'dps-access.bicep' = {
  name: 'dps-access-${token}'
  scope: resourceGroup(dpsScope[2], dpsScope[4])
  dependsOn: [group, newDps]
  params: {
    dpsName: dpsName
    principalId: identity.outputs.principalId
  }
}

var vault = split(empty(keyVaultId) ? '${subscription().id}/resourceGroups/${groupName}/none' : keyVaultId, '/')
var secrets = filter(items(keyVaultSettings), secret => !empty(secret.value))

module secretAccess 'secret-access.bicep' = if (!empty(keyVaultId)) {
  name: 'secret-access-${token}'
  scope: resourceGroup(vault[2], vault[4])
  params: {
    keyVaultName: last(vault)
    secretNames: map(secrets, secret => secret.value)
    principalId: identity.outputs.principalId
  }
}

// The app comes last: a host that starts before it may read its storage or its secrets fails.
module app 'app.bicep' = {
  name: 'app'
  scope: group
  dependsOn: [secretAccess]
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: allTags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    blobEndpoint: storage.outputs.blobEndpoint
    packageContainerUrl: storage.outputs.packageContainerUrl
    applicationInsightsConnectionString: monitoring.outputs.connectionString
    dpsHostName: dpsAccess.outputs.hostName
    serviceBusHostName: queues.outputs.hostName
    queueSettings: {
      ENROLLMENT_REQUESTS_QUEUE: enrollmentRequestsQueue
      BULK_OPERATIONS_QUEUE: bulkOperationsQueue
      ENROLLMENT_RESULTS_QUEUE: enrollmentResultsQueue
      ENROLLMENT_REJECTED_QUEUE: enrollmentRejectedQueue
      ENROLLMENT_REPLY_QUEUES: join(enrollmentReplyQueues, ',')
    }
    settings: settings
    keyVaultSettings: toObject(secrets, secret => secret.key, secret => secret.value)
    keyVaultName: last(vault)
    disabledFunctions: disabledFunctions
    subnetId: subnetId
    pythonVersion: pythonVersion
    alwaysReady: alwaysReady
    maximumInstanceCount: maximumInstanceCount
    instanceMemoryMB: instanceMemoryMB
    httpConcurrency: httpConcurrency
    siteUpdateStrategy: siteUpdateStrategy
  }
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    namePrefix: environmentName
    tags: allTags
    email: alertEmail
    thresholds: alertThresholds
    serviceBusId: queues.outputs.namespaceId
    inputQueues: [enrollmentRequestsQueue, bulkOperationsQueue]
    rejectedQueue: enrollmentRejectedQueue
    dpsId: dpsAccess.outputs.id
    applicationInsightsId: monitoring.outputs.applicationInsightsId
  }
}

// What the hooks of azure.yaml read, and what to paste next.
output AZURE_RESOURCE_GROUP string = groupName
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = app.outputs.url
output SERVICE_BUS_NAMESPACE string = serviceBusName
output DPS_NAME string = dpsName
output APPLICATION_INSIGHTS_NAME string = monitoring.outputs.applicationInsightsName
output ACTION_GROUP_ID string = alerts.outputs.actionGroupId
output WEBHOOK_URL string = '${app.outputs.url}/allocation/default'
output WEBHOOK_KEY_COMMAND string = 'az functionapp function keys set -g ${groupName} -n ${app.outputs.name} --function-name allocation_decide_by_policy --key-name dps --query value -o tsv'
output FIRST_ENROLLMENT_GROUP_COMMAND string = 'az iot dps enrollment-group create -g ${dpsScope[4]} --dps-name ${dpsName} --enrollment-id first-group --allocation-policy custom --api-version 2021-10-01 --webhook-url "${app.outputs.url}/allocation/default?code=$WEBHOOK_KEY"'
output LOGS_URL string = '${environment().portal}/#@${tenant().tenantId}/resource${monitoring.outputs.applicationInsightsId}/logs'
