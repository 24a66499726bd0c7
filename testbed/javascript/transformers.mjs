// transformers.js in node: node transformers.mjs BUNDLE DTYPE < prompts.json
// prompts.json: {"prompts": [[ids]], "tokens": n}; prints {"answers": [[ids]], "seconds": s, "version": v}
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { AutoModelForCausalLM, Tensor, env } from '@huggingface/transformers';

const [bundle, dtype] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = path.dirname(bundle);
const { prompts, tokens } = JSON.parse(readFileSync(0, 'utf8'));
const model = await AutoModelForCausalLM.from_pretrained(path.basename(bundle), { dtype, device: 'cpu' });
const answers = [];
let seconds = 0;
for (const ids of prompts) {
  const input = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const started = performance.now();
  const output = await model.generate({
    input_ids: input(ids),
    attention_mask: input(ids.map(() => 1)),
    max_new_tokens: tokens,
    do_sample: false,
    eos_token_id: null,
  });
  seconds += (performance.now() - started) / 1000;
  answers.push(Array.from(output.data, Number).slice(ids.length));
}
process.stdout.write(JSON.stringify({ answers, seconds, version: env.version }));
