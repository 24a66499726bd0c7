// Opens page.html in headless Chromium: node browser.mjs BUNDLE CHROMIUM PICTURE.png < question.json
// question.json: {"prefix": text, "ids": [ids], "tokens": n, "dtype": d}; prints what the page found.
import { createReadStream, readFileSync, statSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

const [bundle, executablePath, picture] = process.argv.slice(2);
const question = readFileSync(0, 'utf8');
const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json' };
const roots = { '/npm/': path.resolve('node_modules'), '/models/bundle/': bundle };

const server = http.createServer((request, response) => {
  const url = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  // Both let the page use several threads.
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
  if (url === '/question.json') return response.setHeader('Content-Type', types['.json']).end(question);
  const prefix = Object.keys(roots).find((one) => url.startsWith(one));
  const file = url === '/' ? path.resolve('page.html') : prefix && path.join(roots[prefix], path.normalize('/' + url.slice(prefix.length)));
  try {
    const { size } = statSync(file);
    response.writeHead(200, { 'Content-Type': types[path.extname(file)] ?? 'application/octet-stream', 'Content-Length': size });
    if (request.method === 'HEAD') return response.end();
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--headless=new', '--no-first-run', '--disable-background-networking'],
});
try {
  const page = await browser.newPage({ viewport: { width: 820, height: 430 } });
  const talk = [];
  page.on('console', (message) => talk.push(message.text()));
  page.on('pageerror', (error) => talk.push(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.answer !== undefined, null, { timeout: 300_000 }).catch((error) => talk.push(String(error)));
  await page.screenshot({ path: picture });
  const answer = await page.evaluate(() => window.answer);
  process.stdout.write(JSON.stringify(answer ?? { error: talk.join('\n') }));
} finally {
  await browser.close();
  server.close();
}
