// SPDX-License-Identifier: Apache-2.0
// Unary calls, streams, deadlines, gzip, errors with their details, tokens, health: each as @grpc/grpc-js does it.
'use strict';
const assert = require('assert');
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const { API, PKI, CSR, PROTO } = process.env;
const files = ['certificate', 'ca', 'caller'].map((n) => `sealmill/v1/${n}.proto`)
    .concat(['grpc/health/v1/health.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto']);
const definition = loader.loadSync(files, { includeDirs: [PROTO], longs: Number, enums: String, defaults: true, oneofs: true });
const api = grpc.loadPackageDefinition(definition);
const pem = (name) => fs.readFileSync(`${PKI}/${name}`);
const mutual = (who) => grpc.credentials.createSsl(pem('root.pem'), pem(`${who}.key`), pem(`${who}.pem`));
const ra = new api.sealmill.v1.CertificateService(API, mutual('ra'));
const admin = new api.sealmill.v1.CertificateService(API, mutual('admin'));
const csr = fs.readFileSync(CSR);
const status = grpc.status;

let checks = 0;
const check = (condition, what) => { assert(condition, what); checks += 1; };
const call = (client, method, request, ...rest) => new Promise((resolve, reject) => {
    client[method](request, ...rest, (error, answer) => (error ? reject(error) : resolve(answer)));
});
const refused = async (code, promise, what) => {
    const error = await promise.then(() => assert.fail(`${what} must fail`), (e) => e);
    assert.strictEqual(error.code, code, `${what}: ${error.message}`);
    checks += 1;
    return error;
};
// The loader hides the decoders of plain messages; protobufjs, on which it stands, reads them.
const root = new (require('protobufjs').Root)();
root.resolvePath = (from, to) => `${PROTO}/${to}`;
root.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
const decode = (type, bytes) => root.lookupType(type).decode(bytes);

async function unary() {
    const issued = await call(ra, 'Issue', { profile: 'device', csr, metadata: { site: 'north' } });
    check(issued.certificate[0] === 0x30 && issued.chain.length === 1, 'a certificate and its chain');
    const got = await call(ra, 'Get', { serial: issued.serial.toUpperCase() });
    check(got.state === 'CERTIFICATE_STATE_VALID' && got.metadata.site === 'north', 'the inventory has it');
    const revoked = await call(ra, 'Revoke', { serial: issued.serial, reason: 'REVOCATION_REASON_SUPERSEDED' });
    check(revoked.state === 'CERTIFICATE_STATE_REVOKED', 'revoked');
    const gzip = new api.sealmill.v1.CertificateService(API, mutual('ra'), { 'grpc.default_compression_algorithm': 2 });
    const second = await call(gzip, 'Issue', { profile: 'device', csr, metadata: { note: 'x'.repeat(900) } });
    check(second.serial !== issued.serial, 'a compressed request');
    gzip.close();
    const many = await Promise.all(Array.from({ length: 200 }, () => call(ra, 'Issue', { profile: 'device', csr })));
    check(new Set(many.map((m) => m.serial)).size === 200, 'two hundred calls at once, each its own serial');
}

async function errors() {
    const bad = await refused(status.INVALID_ARGUMENT, call(ra, 'Issue', { profile: 'device', csr: Buffer.from('no') }), 'a bad CSR');
    const details = decode('google.rpc.Status', bad.metadata.get('grpc-status-details-bin')[0]);
    check(details.code === status.INVALID_ARGUMENT, 'the code is repeated in the details');
    const field = details.details.find((d) => d.type_url.endsWith('/google.rpc.BadRequest'));
    check(decode('google.rpc.BadRequest', field.value).fieldViolations[0].field === 'csr', 'the field is named');
    const big = new api.sealmill.v1.CertificateService(API, mutual('ra'), { 'grpc.max_send_message_length': -1 });
    await refused(status.RESOURCE_EXHAUSTED, call(big, 'Issue', { profile: 'device', csr: Buffer.alloc(5 << 20) }), 'five mebibytes');
    big.close();
    await refused(status.NOT_FOUND, call(ra, 'Get', { serial: '4242' }), 'an unknown serial');
    const denied = await refused(status.PERMISSION_DENIED,
        call(new api.sealmill.v1.CaService(API, mutual('ra')), 'Create', { name: 'x' }), 'an ra that makes a CA');
    check(denied.details.includes('admin'), 'the role is named');
    const none = new api.sealmill.v1.CertificateService(API, grpc.credentials.createSsl(pem('root.pem')));
    await refused(status.UNAUTHENTICATED, call(none, 'List', {}), 'no credentials');
    const past = await refused(status.DEADLINE_EXCEEDED,
        call(ra, 'Issue', { profile: 'device', csr }, new grpc.Metadata(), { deadline: Date.now() - 1 }), 'a deadline in the past');
    check(past.code === status.DEADLINE_EXCEEDED, 'deadline');
    none.close();
}

async function token() {
    const callers = new api.sealmill.v1.CallerService(API, mutual('admin'));
    const made = await call(callers, 'CreateToken', { name: 'node', grants: [{ role: 'ROLE_READER' }] });
    const plain = new api.sealmill.v1.CallerService(API, grpc.credentials.createSsl(pem('root.pem')));
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${made.secret}`);
    const me = await call(plain, 'WhoAmI', {}, metadata);
    check(me.method === 'token' && me.grants[0].role === 'ROLE_READER', 'the token is known');
    await call(callers, 'RevokeToken', { id: made.token.id });
    await refused(status.UNAUTHENTICATED, call(plain, 'WhoAmI', {}, metadata), 'a revoked token');
    plain.close();
    callers.close();
}

// Every request of a stream gets one answer; what is wrong with one does not end the others.
function stream(count) {
    return new Promise((resolve, reject) => {
        const seen = new Map();
        const s = ra.IssueStream();
        s.on('data', (m) => seen.set(m.id, m.result));
        s.on('error', reject);
        s.on('end', () => resolve(seen));
        for (let id = 1; id <= count; id += 1) {
            s.write({ id, request: { profile: 'device', csr: id % 10 ? csr : Buffer.from('bad') } });
        }
        s.end();
    }).then((seen) => {
        check(seen.size === count, 'each id once');
        check([...seen].every(([id, result]) => result === (id % 10 ? 'response' : 'error')), 'the right ones refused');
    });
}

function watch() {
    return new Promise((resolve) => {
        const cursors = [];
        const w = admin.Watch({ cursor: 0 });
        w.on('data', (e) => { cursors.push(e.cursor); if (cursors.length === 100) { w.cancel(); } });
        w.on('error', (e) => resolve([cursors, e]));
    }).then(([cursors, error]) => {
        check(error.code === status.CANCELLED, 'the client cancelled');
        check(cursors.length >= 100 && cursors.every((c, i) => i === 0 || c > cursors[i - 1]), 'events in order');
    });
}

async function health() {
    const client = new api.grpc.health.v1.Health(API, grpc.credentials.createSsl(pem('root.pem')));
    check((await call(client, 'Check', {})).status === 'SERVING', 'serving, without credentials');
    const service = await call(client, 'Check', { service: 'sealmill.v1.CertificateService' });
    check(service.status === 'SERVING', 'a service by name');
    client.close();
}

(async () => {
    for (const step of [unary, errors, token, () => stream(1000), watch, health]) { await step(); }
    ra.close();
    admin.close();
    console.log(`${checks} checks passed`);
})().catch((error) => { console.error(error); process.exit(1); });
