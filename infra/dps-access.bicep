metadata description = 'The right of the app on a DPS instance, in the resource group of that instance.'

param dpsName string
param principalId string

resource dps 'Microsoft.Devices/provisioningServices@2022-12-12' existing = {
  name: dpsName
}

// Device Provisioning Service Data Contributor: reads and writes enrollments, groups and registration
// states. It cannot change the instance, its linked hubs or its certificates.
var dataContributor = 'dfce44e4-17b7-4bd1-a6d1-04996ec95633'

resource contributor 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(dps.id, principalId, dataContributor)
  scope: dps
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataContributor)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}

output id string = dps.id
output hostName string = dps.properties.serviceOperationsHostName
