// The backends of the pages, as users of each client write them: express, and its autumnHandler.
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import express from 'express';
import { Autumn } from 'autumn-js-1.3';
import { autumnHandler as handlerOf00 } from 'autumn-js-0.0/express';
import { autumnHandler as handlerOf01 } from 'autumn-js-0.1/express';
import { autumnHandler as handlerOf13 } from 'autumn-js-1.3/express';

// The key is the environment's AUTUMN_SECRET_KEY.
const url = process.env.GATEWAY_URL;

// Who is signed in is what the cookie says; a real app has a session.
function signedIn(request) {
  return /customer=([^;]+)/.exec(request.headers.cookie)[1];
}

const identify = (request) => ({
  customerId: signedIn(request),
  customerData: { name: 'Acme', email: 'team@example.com' },
});

const HANDLERS = {
  '0.0': () => handlerOf00({ identify, url: `${url}/v1` }),
  '0.1': () => handlerOf01({ identify, url: `${url}/v1` }),
  '1.3': () => handlerOf13({ identify, autumnURL: url }),
};

function own() {
  const autumn = new Autumn({ serverURL: url, failOpen: false });
  const routes = express.Router();
  const named = (request) => ({ ...request.body, customerId: signedIn(request) });
  routes.post('/seats', async (request, response) => {
    response.json(await autumn.entities.create(named(request)));
  });
  routes.post('/uses', async (request, response) => {
    response.json(await autumn.track(named(request)));
  });
  return routes;
}

async function script(version) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`${version}.jsx`, import.meta.url))],
    bundle: true,
    write: false,
    jsx: 'automatic',
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  return outputFiles[0].text;
}

const HTML = '<!doctype html><title>Team</title><div id="page"></div><script src="/page.js"></script>';

export async function serve(version) {
  const page = await script(version);
  const app = express();
  app.use(express.json());
  app.use('/api/autumn', HANDLERS[version]());
  app.use(own());
  app.get('/', (_, response) => response.send(HTML));
  app.get('/page.js', (_, response) => response.type('js').send(page));
  return await new Promise((resolve) => {
    const server = app.listen(0, '127.0.0.1', () => {
      resolve(`http://127.0.0.1:${server.address().port}`);
    });
  });
}
