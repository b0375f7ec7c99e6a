// Opens the pages in Chromium and does what a person would: one JSON line in, one JSON line out.
//
// In: {method, args}, a method of `person`. Out: {value} or {error}.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { serve } from './apps.mjs';

const WAIT_MS = 60_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-zygote'],
});
const apps = {};
let page;
let said;

const person = {
  async open(version, customer) {
    const url = (apps[version] ??= await serve(version));
    await page?.context().close();
    page = await browser.newPage({ viewport: { width: 640, height: 480 } });
    page.setDefaultTimeout(WAIT_MS);
    said = [];
    page.on('console', (line) => said.push(`${line.type()}: ${line.text()}`));
    page.on('pageerror', (error) => said.push(`thrown: ${error.message}`));
    await page.context().addCookies([{ name: 'customer', value: customer, url }]);
    await page.goto(url);
  },

  async click(button) {
    await page.getByRole('button', { name: button }).click();
  },

  async sees(text) {
    await page.getByText(text, { exact: true }).waitFor();
  },

  async shoot(path) {
    await page.screenshot({ path });
  },

  // What the page said on the console since it was opened.
  heard: () => said,
};

async function told(error) {
  const { name, message } = error;
  const shown = await page?.locator('body').innerText();
  return { name, message: [message, 'The page shows:', shown, ...(said ?? [])].join('\n') };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { method, args } = JSON.parse(line);
  let answer;
  try {
    answer = { value: await person[method](...args) };
  } catch (error) {
    answer = { error: await told(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
process.exit();
