import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve(files.sort((left, right) => left.moduleId.localeCompare(right.moduleId)));
  }
}

export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.mts'],
    fileParallelism: false, // one editor at a time: it wants a core of its own
    sequence: { sequencer: ByName }, // `build` comes first, and its bundle serves the others
    testTimeout: 900_000,
    hookTimeout: 900_000,
    reporters: ['verbose'],
  },
});
