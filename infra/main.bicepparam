// The parameters of main.bicep, from environment variables: `azd env set NAME value` sets one for an
// environment of azd. Without azd, export them. Lists are separated by commas.
using './main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME')
param location = readEnvironmentVariable('AZURE_LOCATION')
param tags = json(readEnvironmentVariable('TAGS', '{}'))

param pythonVersion = readEnvironmentVariable('PYTHON_VERSION', '3.11')
param subnetId = readEnvironmentVariable('SUBNET_ID', '')
param disabledFunctions = filter(split(readEnvironmentVariable('DISABLED_FUNCTIONS', ''), ','), name => !empty(name))

// Optional settings of docs/settings.md, each under its own name. Unset: the app's default.
param settings = {
  DPS_API_VERSIONS: readEnvironmentVariable('DPS_API_VERSIONS', '')
  DPS_DEFAULT_API_VERSION: readEnvironmentVariable('DPS_DEFAULT_API_VERSION', '')
  DPS_TIMEOUT_SECONDS: readEnvironmentVariable('DPS_TIMEOUT_SECONDS', '')
  DPS_ATTEMPT_TIMEOUT_SECONDS: readEnvironmentVariable('DPS_ATTEMPT_TIMEOUT_SECONDS', '')
  DPS_MAX_ATTEMPTS: readEnvironmentVariable('DPS_MAX_ATTEMPTS', '')
  DPS_OPERATIONS_PER_MINUTE: readEnvironmentVariable('DPS_OPERATIONS_PER_MINUTE', '')
  DPS_PACING_START: readEnvironmentVariable('DPS_PACING_START', '')
  BULK_TIMEOUT_SECONDS: readEnvironmentVariable('BULK_TIMEOUT_SECONDS', '')
  ALLOCATION_POLICIES_FILE: readEnvironmentVariable('ALLOCATION_POLICIES_FILE', '')
  PUBLIC_ROUTES_AUTH_LEVEL: readEnvironmentVariable('PUBLIC_ROUTES_AUTH_LEVEL', '')
  DOCS_AUTH_LEVEL: readEnvironmentVariable('DOCS_AUTH_LEVEL', '')
  SHARED_ACCESS_HOSTS: readEnvironmentVariable('SHARED_ACCESS_HOSTS', '')
  BULK_CONCURRENCY: readEnvironmentVariable('BULK_CONCURRENCY', '')
  MESSAGE_BUDGET_SECONDS: readEnvironmentVariable('MESSAGE_BUDGET_SECONDS', '')
  AZURE_SDK_LOG_LEVEL: readEnvironmentVariable('AZURE_SDK_LOG_LEVEL', '')
  MESSAGE_MAX_ATTEMPTS: readEnvironmentVariable('MESSAGE_MAX_ATTEMPTS', '')
}

// Settings that are secrets: the variable has the name of a secret in the key vault, not its value.
param keyVaultId = readEnvironmentVariable('KEY_VAULT_ID', '')
param keyVaultSettings = {
  DPS_CONNECTION_STRING: readEnvironmentVariable('DPS_CONNECTION_STRING_SECRET', '')
  ALLOCATION_WEBHOOK_URLS: readEnvironmentVariable('ALLOCATION_WEBHOOK_URLS_SECRET', '')
  SHARED_ACCESS_POLICIES: readEnvironmentVariable('SHARED_ACCESS_POLICIES_SECRET', '')
}

param dpsId = readEnvironmentVariable('DPS_ID', '')
param linkedHubIds = filter(split(readEnvironmentVariable('LINKED_HUB_IDS', ''), ','), id => !empty(id))
param linkedHubPolicy = readEnvironmentVariable('LINKED_HUB_POLICY', 'iothubowner')

param serviceBusId = readEnvironmentVariable('SERVICE_BUS_ID', '')
param serviceBusSku = readEnvironmentVariable('SERVICE_BUS_SKU', 'Standard')
param enrollmentRequestsQueue = readEnvironmentVariable('ENROLLMENT_REQUESTS_QUEUE', 'enrollment-requests')
param bulkOperationsQueue = readEnvironmentVariable('BULK_OPERATIONS_QUEUE', 'bulk-operations')
param enrollmentResultsQueue = readEnvironmentVariable('ENROLLMENT_RESULTS_QUEUE', 'enrollment-results')
param enrollmentRejectedQueue = readEnvironmentVariable('ENROLLMENT_REJECTED_QUEUE', 'enrollment-rejected')
param enrollmentReplyQueues = filter(split(readEnvironmentVariable('ENROLLMENT_REPLY_QUEUES', ''), ','), name => !empty(name))
param resultTimeToLive = readEnvironmentVariable('RESULT_TIME_TO_LIVE', 'P14D')
param queueSizeMegabytes = int(readEnvironmentVariable('QUEUE_SIZE_MEGABYTES', '5120'))
param scaleByMessageCount = bool(readEnvironmentVariable('SCALE_BY_MESSAGE_COUNT', 'false'))

param alwaysReady = {
  http: int(readEnvironmentVariable('ALWAYS_READY_HTTP', '1'))
  'function:enrollment_requests': int(readEnvironmentVariable('ALWAYS_READY_ENROLLMENT_REQUESTS', '0'))
  'function:bulk_operations': int(readEnvironmentVariable('ALWAYS_READY_BULK_OPERATIONS', '0'))
}
param maximumInstanceCount = int(readEnvironmentVariable('MAXIMUM_INSTANCE_COUNT', '40'))
param instanceMemoryMB = int(readEnvironmentVariable('INSTANCE_MEMORY_MB', '2048'))
param httpConcurrency = int(readEnvironmentVariable('HTTP_CONCURRENCY', '16'))
param siteUpdateStrategy = readEnvironmentVariable('SITE_UPDATE_STRATEGY', 'Recreate')

param logRetentionDays = int(readEnvironmentVariable('LOG_RETENTION_DAYS', '30'))
param dailyLogGigabytes = int(readEnvironmentVariable('DAILY_LOG_GIGABYTES', '-1'))
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param alertThresholds = {
  deadLetteredMessages: int(readEnvironmentVariable('ALERT_DEAD_LETTERED_MESSAGES', '0'))
  rejectedMessages: int(readEnvironmentVariable('ALERT_REJECTED_MESSAGES', '0'))
  scheduledMessages: int(readEnvironmentVariable('ALERT_SCHEDULED_MESSAGES', '100'))
  failedRegistrations: int(readEnvironmentVariable('ALERT_FAILED_REGISTRATIONS', '5'))
  failedRequests: int(readEnvironmentVariable('ALERT_FAILED_REQUESTS', '5'))
}
