import { expect, test } from 'vitest';

import { JobQueue } from '../src/queue';

function job(log: string[], name: string): () => Promise<void> {
  return async () => {
    log.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    log.push(`${name} ends`);
  };
}

test('jobs do not overlap, and keep their order', async () => {
  const [queue, log] = [new JobQueue(), [] as string[]];
  await Promise.all([queue.push(job(log, 'a')), queue.push(job(log, 'b'))]);
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
});

test('one that waits stands for the later ones of its name, one that runs does not', async () => {
  const [queue, log] = [new JobQueue(), [] as string[]];
  const first = queue.pushOnce('restart', job(log, 'first'));
  await new Promise((resolve) => setTimeout(resolve, 0)); // it begins
  const second = queue.pushOnce('restart', job(log, 'second'));
  const third = queue.pushOnce('restart', job(log, 'third'));
  expect(third).toBe(second);
  expect([queue.isWaiting('restart'), queue.isWaiting('stop')]).toEqual([true, false]);
  await Promise.all([first, second, third]);
  expect(log).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  expect(queue.isWaiting('restart')).toBe(false);
});

test('a failure reaches its caller and stops nothing', async () => {
  const [queue, log] = [new JobQueue(), [] as string[]];
  const bad = queue.pushOnce('restart', () => Promise.reject(new Error('no')));
  const good = queue.push(job(log, 'good'));
  await expect(bad).rejects.toThrow('no');
  await good;
  expect(log).toHaveLength(2);
});
