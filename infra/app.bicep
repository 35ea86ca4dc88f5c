metadata description = 'The function app on a Flex Consumption plan. Every connection uses the identity.'

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param blobEndpoint string
param packageContainerUrl string
param applicationInsightsConnectionString string
param dpsHostName string
param serviceBusHostName string
param queueSettings object
param settings object
param keyVaultSettings object
param keyVaultName string
param disabledFunctions array
param subnetId string
param pythonVersion string
param alwaysReady object
param maximumInstanceCount int
param instanceMemoryMB int
param httpConcurrency int
param siteUpdateStrategy string

// Settings of the host and of the app that follow from the other resources.
var connectionSettings = {
  AZURE_CLIENT_ID: identityClientId
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: applicationInsightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  ServiceBus__fullyQualifiedNamespace: serviceBusHostName
  ServiceBus__credential: 'managedidentity'
  ServiceBus__clientId: identityClientId
  // The app wants exactly one of the two settings for DPS.
  DPS_ENDPOINT: contains(keyVaultSettings, 'DPS_CONNECTION_STRING') ? '' : dpsHostName
}
var references = mapValues(keyVaultSettings, secret => '@Microsoft.KeyVault(VaultName=${keyVaultName};SecretName=${secret})')
var disabled = toObject(disabledFunctions, function => 'AzureWebJobs.${function}.Disabled', function => 'true')
var allSettings = union(settings, queueSettings, connectionSettings, references, disabled)

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  // azd finds the app to deploy to by its tag.
  tags: union(tags, { 'azd-service-name': 'functions' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      appSettings: map(filter(items(allSettings), setting => !empty(setting.value)), setting => {
        name: setting.key
        value: setting.value
      })
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      scaleAndConcurrency: {
        alwaysReady: map(filter(items(alwaysReady), group => group.value > 0), group => {
          name: group.key
          instanceCount: group.value
        })
        maximumInstanceCount: maximumInstanceCount
        instanceMemoryMB: instanceMemoryMB
        triggers: {
          http: { perInstanceConcurrency: httpConcurrency }
        }
      }
      // In the API since 2023-12-01, but not in the types that Bicep has for every version.
      #disable-next-line BCP037
      siteUpdateStrategy: { type: siteUpdateStrategy }
    }
  }
}

// Deployments sign in with Microsoft Entra: the publishing password is of no use but to a thief.
resource publishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: site
  name: 'scm'
  properties: { allow: false }
}

output name string = site.name
output url string = 'https://${site.properties.defaultHostName}'
