import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.mts'],
    fileParallelism: false, // one editor at a time: it wants a core of its own
    testTimeout: 400_000,
    hookTimeout: 400_000,
    reporters: ['verbose'],
  },
});
