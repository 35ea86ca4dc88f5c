metadata description = 'The availability test of GET /health/ready and its alert. A hook deploys it after the code: the key of a function exists only then.'

@description('The function app.')
param functionAppName string

@description('The Application Insights instance that runs the test and holds its results.')
param applicationInsightsName string

@description('The action group of the alert.')
param actionGroupId string

param location string = resourceGroup().location

@description('Where the requests come from. Readiness calls DPS at most twice a minute for each process, however many there are.')
param testLocations array = ['emea-nl-ams-azr', 'us-va-ash-azr', 'apac-sg-sin-azr']

@description('The alert fires if the app is not ready from this many locations.')
param failedLocations int = 2

resource site 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

resource ready 'Microsoft.Web/sites/functions@2024-11-01' existing = {
  parent: site
  name: 'health_ready'
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: applicationInsightsName
}

resource test 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'ready-${functionAppName}'
  location: location
  // The test appears in Application Insights by this tag.
  tags: { 'hidden-link:${applicationInsights.id}': 'Resource' }
  kind: 'standard'
  properties: {
    Name: 'ready-${functionAppName}'
    SyntheticMonitorId: 'ready-${functionAppName}'
    Description: 'GET /health/ready: settings, allocation policies, DPS and the queues.'
    Enabled: true
    Kind: 'standard'
    Frequency: 300
    Timeout: 30
    RetryEnabled: true
    Locations: [for id in testLocations: { Id: id }]
    Request: {
      RequestUrl: 'https://${site.properties.defaultHostName}/health/ready'
      HttpVerb: 'GET'
      ParseDependentRequests: false
      // Readable by all who may read this resource. The key opens health_ready and nothing else.
      Headers: [
        {
          key: 'x-functions-key'
          value: ready.listKeys().default
        }
      ]
    }
    ValidationRules: {
      ExpectedHttpStatusCode: 200
      SSLCheck: true
      SSLCertRemainingLifetimeCheck: 7
    }
  }
}

resource alert 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'not-ready-${functionAppName}'
  location: 'global'
  // The rule is found from both resources by these tags.
  tags: {
    'hidden-link:${applicationInsights.id}': 'Resource'
    'hidden-link:${test.id}': 'Resource'
  }
  properties: {
    description: 'The app is not ready. GET /health/ready names every fault and its remedy.'
    severity: 1
    enabled: true
    scopes: [test.id, applicationInsights.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: test.id
      componentId: applicationInsights.id
      failedLocationCount: failedLocations
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}
