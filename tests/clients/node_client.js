// Calls every operation of the DPS service client for Node.js, and prints a line of JSON for each.

const https = require('https');
const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

const { CONNECTION_STRING, KEY, PORT } = process.env;
// The client can be given a host name only.
https.globalAgent.defaultPort = Number(PORT);

const client = ProvisioningServiceClient.fromConnectionString(CONNECTION_STRING);
const attestation = { type: 'symmetricKey', symmetricKey: { primaryKey: KEY, secondaryKey: KEY } };
const device = { registrationId: 'node-1', attestation };
const group = { enrollmentGroupId: 'node-group', attestation };
const all = { query: 'SELECT *' };

// Without a callback, the client's bulk operations never return.
const bulk = (operation) =>
  new Promise((resolve, reject) => {
    client.runBulkEnrollmentOperation(operation, (error, result) =>
      error ? reject(error) : resolve(result));
  });
const firstPage = async (query) => (await query.next()).responseBody;
const body = async (promise) => (await promise).responseBody;
const status = (promise) => promise.then(() => 'found', (error) => error.response.statusCode);

const steps = {
  create: async () => (await body(client.createOrUpdateIndividualEnrollment(device))).registrationId,
  update: async () => {
    const stored = await body(client.getIndividualEnrollment('node-1'));
    const changed = { ...stored, attestation, provisioningStatus: 'disabled' };
    return (await body(client.createOrUpdateIndividualEnrollment(changed))).provisioningStatus;
  },
  attestation: async () =>
    (await body(client.getIndividualEnrollmentAttestationMechanism('node-1'))).type,
  query: async () => (await firstPage(client.createIndividualEnrollmentQuery(all, 10))).length,
  bulk: async () => {
    const enrollments = [device, { ...device, registrationId: 'node-2' }];
    return (await bulk({ mode: 'create', enrollments })).errors.map((item) => item.errorCode);
  },
  delete: async () => status(client.deleteIndividualEnrollment('node-2')),
  deleteWithEtag: async () =>
    status(client.deleteIndividualEnrollment(await body(client.getIndividualEnrollment('node-1')))),
  gone: async () => status(client.getIndividualEnrollment('node-1')),
  createGroup: async () => (await body(client.createOrUpdateEnrollmentGroup(group))).enrollmentGroupId,
  getGroup: async () => (await body(client.getEnrollmentGroup('node-group'))).enrollmentGroupId,
  groupAttestation: async () =>
    (await body(client.getEnrollmentGroupAttestationMechanism('node-group'))).type,
  queryGroups: async () => (await firstPage(client.createEnrollmentGroupQuery(all, 10))).length,
  queryStates: async () =>
    firstPage(client.createEnrollmentGroupDeviceRegistrationStateQuery(all, 'node-group', 10)),
  getState: async () => status(client.getDeviceRegistrationState('node-1')),
  deleteState: async () => status(client.deleteDeviceRegistrationState('node-1')),
  deleteGroup: async () => status(client.deleteEnrollmentGroup('node-group')),
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    console.log(JSON.stringify([name, await step()]));
  }
})().catch((error) => {
  console.log(JSON.stringify(['failed', `${error.name}: ${error.message}`]));
  process.exit(1);
});
