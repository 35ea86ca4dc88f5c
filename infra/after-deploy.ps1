# Deploys readiness.bicep and prints what to do next. The variables are outputs of main.bicep.
$ErrorActionPreference = 'Continue'

az deployment group create --name readiness --subscription $env:AZURE_SUBSCRIPTION_ID `
  --resource-group $env:AZURE_RESOURCE_GROUP --template-file infra/readiness.bicep --output none `
  --parameters functionAppName=$env:FUNCTION_APP_NAME `
  applicationInsightsName=$env:APPLICATION_INSIGHTS_NAME actionGroupId=$env:ACTION_GROUP_ID
if ($LASTEXITCODE) {
  Write-Warning 'The availability test was not deployed, so nothing checks GET /health/ready. Sign in with az login, then run: azd hooks run postdeploy'
}

Write-Output @"

The app:   $env:FUNCTION_APP_URL
Logs:      $env:LOGS_URL

The first enrollment group, whose devices the app assigns to hubs:

  `$WEBHOOK_KEY = $env:WEBHOOK_KEY_COMMAND
  $env:FIRST_ENROLLMENT_GROUP_COMMAND
"@
exit 0
