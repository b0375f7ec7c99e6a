// Calls the published JavaScript clients as they are: one JSON line in, one JSON line out.
//
// In: {client, method, args, version?, times?}; method is a path such as "entities.create", version
// another x-api-version than the client's own. With times the call is made that often at once, and
// the answers are an array. Out: {value} or {error}.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import * as seeds from './seeds.mjs';

const { GATEWAY_URL: url, GATEWAY_KEY: secretKey } = process.env;

// Checks and tracks of newer clients give up after five seconds, and have no option for that; a
// machine that runs many tests may stand still for as long.
const { timeout } = AbortSignal;
AbortSignal.timeout = (ms) => timeout.call(AbortSignal, Math.max(ms, 60_000));

async function rpc(name, xApiVersion) {
  const { Autumn } = await import(name);
  // Failing open would hide what the gateway answered.
  return new Autumn({ serverURL: url, secretKey, failOpen: false, xApiVersion });
}

async function rest() {
  const { Autumn } = await import('autumn-js-0.1');
  return new Autumn({ url: `${url}/v1`, secretKey, logLevel: 'fatal' });
}

function* methodsOf(target, path = '') {
  const names = new Set();
  for (let level = target; level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Object.getOwnPropertyNames(level)) names.add(name);
  }
  for (const name of names) {
    if (name === 'constructor' || name.startsWith('_') || name === 'logger') continue;
    const value = target[name];
    if (typeof value === 'function') yield path + name;
    else if (value && typeof value === 'object') yield* methodsOf(value, `${path}${name}.`);
  }
}

const methods = {
  of: async (name) => [...methodsOf(await made(name))],
};

const versions = {
  of: (name) => createRequire(import.meta.url)(`${name}/package.json`).version,
};

const makers = {
  '1.3': (version) => rpc('autumn-js-1.3', version),
  '1.2': (version) => rpc('autumn-js-1.2', version),
  '1.0': (version) => rpc('autumn-js-1.0', version),
  '0.1': rest,
  seeds: () => seeds.examples(url, secretKey),
  methods: () => methods,
  versions: () => versions,
};
const clients = {};

function made(client, version) {
  return (clients[`${client}@${version ?? ''}`] ??= makers[client](version ?? undefined));
}

async function call({ client, method, args, version }) {
  const path = method.split('.');
  const name = path.pop();
  let target = await made(client, version);
  for (const part of path) target = target[part];
  return target[name](...args);
}

function shown(error) {
  const { name, message, statusCode, body } = error;
  return { name, message, statusCode, body };
}

async function answer(line) {
  const { times, ...request } = JSON.parse(line);
  try {
    if (times === undefined) return { value: await call(request) };
    return { value: await Promise.all(Array.from({ length: times }, () => call(request))) };
  } catch (error) {
    return { error: shown(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
