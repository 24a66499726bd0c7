// onnxruntime-node: node onnxruntime.mjs MODEL.onnx < prompts.json, as transformers.mjs
import { readFileSync } from 'node:fs';
import ort from 'onnxruntime-node';

const [file] = process.argv.slice(2);
const { prompts, tokens } = JSON.parse(readFileSync(0, 'utf8'));
const session = await ort.InferenceSession.create(file, { executionProviders: ['cpu'], logSeverityLevel: 3 });
const inputs = new Map(session.inputMetadata.map((one) => [one.name, one]));
const past = session.inputNames.filter((name) => name.startsWith('past_key_values.'));
const int64 = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
const answers = [];
let seconds = 0;
for (const ids of prompts) {
  const feeds = {};
  for (const name of past) {
    const { type, shape } = inputs.get(name);
    const empty = type === 'float16' ? new Uint16Array(0) : new Float32Array(0);
    feeds[name] = new ort.Tensor(type, empty, [1, Number(shape[1]), 0, Number(shape[3])]);
  }
  const answer = [];
  let next = ids;
  let length = 0;
  const started = performance.now();
  while (answer.length < tokens) {
    length += next.length;
    feeds.input_ids = int64(next);
    feeds.attention_mask = int64(Array(length).fill(1));
    const results = await session.run(feeds);
    const [, rows, width] = results.logits.dims;
    const last = results.logits.data.subarray((rows - 1) * width);
    let best = 0;
    for (let index = 1; index < width; index += 1) if (last[index] > last[best]) best = index;
    answer.push(best);
    for (const name of past) feeds[name] = results[name.replace('past_key_values', 'present')];
    next = [best];
  }
  seconds += (performance.now() - started) / 1000;
  answers.push(answer);
}
const version = ort.env.versions.node ?? ort.env.versions.common;
process.stdout.write(JSON.stringify({ answers, seconds, version }));
