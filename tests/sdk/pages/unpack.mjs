// Unpacks the Chromium of npm's @sparticuz/chromium into a folder: the browser, and the libraries
// and fonts that a bare machine lacks.
import { rmSync, mkdirSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const folder = resolve(process.argv[2]);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

if (process.platform === 'linux' && process.arch === 'x64') {
  // The package unpacks where temporary files go, and the libraries only where it was made for.
  process.env.TMPDIR = folder;
  process.env.AWS_LAMBDA_JS_RUNTIME = 'nodejs22.x';
  const { default: packed } = await import('@sparticuz/chromium');
  await packed.executablePath();
  writeFileSync(
    `${folder}/fonts/fonts.conf`,
    `<fontconfig><dir>${folder}/fonts</dir><cachedir>${folder}/fonts</cachedir></fontconfig>\n`,
  );
} else {
  console.log('there is no packed Chromium for this machine: the tests take the one on the PATH');
}
