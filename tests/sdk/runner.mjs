// Calls the published JavaScript clients as they are: one JSON line in, one JSON line out.
//
// In: {client, method, args, times?}; method is a path such as "entities.create". With times the
// call is made that often at once, and the answers are an array. Out: {value} or {error}.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import * as seeds from './seeds.mjs';

const { GATEWAY_URL: url, GATEWAY_KEY: secretKey } = process.env;

async function rpc(name) {
  const { Autumn } = await import(name);
  // Failing open would hide what the gateway answered.
  return new Autumn({ serverURL: url, secretKey, failOpen: false });
}

async function rest() {
  const { Autumn } = await import('autumn-js-0.1');
  return new Autumn({ url: `${url}/v1`, secretKey, logLevel: 'fatal' });
}

const versions = {
  of: (name) => createRequire(import.meta.url)(`${name}/package.json`).version,
};

const makers = {
  '1.3': () => rpc('autumn-js-1.3'),
  '1.0': () => rpc('autumn-js-1.0'),
  '0.1': rest,
  seeds: () => seeds.examples(url, secretKey),
  versions: () => versions,
};
const clients = {};

async function call({ client, method, args }) {
  clients[client] ??= makers[client]();
  const path = method.split('.');
  const name = path.pop();
  let target = await clients[client];
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
