metadata description = 'A new Device Provisioning Service instance with linked hubs.'

param name string
param location string
param tags object
param linkedHubIds array
param linkedHubPolicy string

resource dps 'Microsoft.Devices/provisioningServices@2022-12-12' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: 'S1'
    capacity: 1
  }
  properties: {
    // DPS connects to a linked hub with a key of a shared access policy: docs page "How to link and manage IoT hubs".
    iotHubs: [for id in linkedHubIds: {
      connectionString: 'HostName=${reference(id, '2023-06-30').hostName};SharedAccessKeyName=${linkedHubPolicy};SharedAccessKey=${listKeys('${id}/IotHubKeys/${linkedHubPolicy}', '2023-06-30').primaryKey}'
      location: reference(id, '2023-06-30', 'Full').location
    }]
  }
}
