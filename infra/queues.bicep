metadata description = 'The queues of the app, and its rights on each of them.'

param namespaceName string
param inputQueues array
param rejectedQueue string
param resultQueues array
param resultTimeToLive string
param sizeMegabytes int
param scaleByMessageCount bool
param principalId string

var names = union(inputQueues, [rejectedQueue], resultQueues)
var receivedQueues = union(inputQueues, [rejectedQueue])
var ownedQueues = scaleByMessageCount ? inputQueues : []

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for name in names: {
  parent: namespace
  name: name
  properties: {
    // A repeated copy of a message has the same id and is dropped. It can be set only when a queue is created.
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT10M'
    // The host renews the lock of a message for as long as the app works on it.
    lockDuration: 'PT1M'
    maxDeliveryCount: 10
    maxSizeInMegabytes: sizeMegabytes
    // Requests wait until they can be applied. Results that nobody receives must not fill their queue.
    defaultMessageTimeToLive: contains(resultQueues, name) ? resultTimeToLive : 'P10675199DT2H48M5.4775807S'
    deadLetteringOnMessageExpiration: !contains(resultQueues, name)
    requiresSession: false
  }
}]

// Azure Service Bus Data Receiver: the triggers receive from the input queues; listing, replaying and
// discarding receives from the queue of rejected messages.
var receiver = '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'

resource receivers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for name in receivedQueues: {
  name: guid(namespace.id, name, principalId, receiver)
  scope: queues[indexOf(names, name)]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', receiver)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

// Azure Service Bus Data Sender: results, rejected messages, and copies that go back to the input queues
// when a request is postponed or replayed.
var sender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'

resource senders 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for name in names: {
  name: guid(namespace.id, name, principalId, sender)
  scope: queues[indexOf(names, name)]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sender)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

// Azure Service Bus Data Owner, on request: reading the number of messages is a right to manage the queue.
var dataOwner = '090c5cfd-751d-490a-894a-3ce6f1109419'

resource owners 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for name in ownedQueues: {
  name: guid(namespace.id, name, principalId, dataOwner)
  scope: queues[indexOf(names, name)]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataOwner)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]

output namespaceId string = namespace.id
output hostName string = replace(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':443/', '')
