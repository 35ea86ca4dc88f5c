#!/bin/sh
# Deploys readiness.bicep and prints what to do next. The variables are outputs of main.bicep.
set -eu

deploy_readiness() {
  az deployment group create --name readiness --subscription "$AZURE_SUBSCRIPTION_ID" \
    --resource-group "$AZURE_RESOURCE_GROUP" --template-file infra/readiness.bicep --output none \
    --parameters functionAppName="$FUNCTION_APP_NAME" \
    applicationInsightsName="$APPLICATION_INSIGHTS_NAME" actionGroupId="$ACTION_GROUP_ID"
}

deploy_readiness || cat <<TEXT >&2
The availability test was not deployed, so nothing checks GET /health/ready. Sign in with az login,
then run: azd hooks run postdeploy
TEXT

cat <<TEXT

The app:   $FUNCTION_APP_URL
Logs:      $LOGS_URL

The first enrollment group, whose devices the app assigns to hubs:

  WEBHOOK_KEY=\$($WEBHOOK_KEY_COMMAND)
  $FIRST_ENROLLMENT_GROUP_COMMAND
TEXT
