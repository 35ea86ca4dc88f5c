metadata description = 'The right of the app to read its secrets, in the resource group of their key vault.'

param keyVaultName string
param secretNames array
param principalId string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: keyVaultName
}

resource secrets 'Microsoft.KeyVault/vaults/secrets@2024-11-01' existing = [for name in secretNames: {
  parent: vault
  name: name
}]

// Key Vault Secrets User, on each secret that a setting refers to: the vault may hold others.
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource users 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (name, index) in secretNames: {
  name: guid(vault.id, name, principalId, secretsUser)
  scope: secrets[index]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}]
