/** Where the `midfill` program is, and how it gets there. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import * as vscode from 'vscode';

const run = promisify(execFile);
const windows = process.platform === 'win32';
const binaries = windows ? 'Scripts' : 'bin';
const program = windows ? 'midfill.exe' : 'midfill';

/** Return the program's path: the setting's, the workspace's environment's, PATH's, pipx' or uv's, or our own's. */
export function find(storage: vscode.Uri): string | undefined {
  const chosen = vscode.workspace.getConfiguration('midfill').get<string>('server.path', '').trim();
  if (chosen) {
    return chosen.replace(/^~(?=\/)/, homedir());
  }
  // Only reached in trusted folders: the extension does not start in others.
  const folders = (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
  const places = [
    ...folders.flatMap((folder) => ['.venv', 'venv'].map((name) => join(folder, name, binaries))),
    ...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean),
    join(homedir(), '.local', 'bin'),
    join(ownEnvironment(storage), binaries),
  ];
  return places.map((place) => join(place, program)).find(existsSync);
}

/** Return the names of the models that the program knows; none where it does not say. */
export async function models(path: string): Promise<string[]> {
  const listed = run(path, ['model', 'list', '--json'], { timeout: 60_000 });
  return listed.then(({ stdout }) => (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name), () => []);
}

/** Ask how to install the server and do it in a terminal, for everyone to see; resolves when that has ended. */
export async function install(storage: vscode.Uri): Promise<void> {
  const source = await vscode.window.showInputBox({
    title: 'Install the midfill server',
    prompt: "A folder with midfill's source, a wheel, or a git+https:// address",
    value: vscode.workspace.getConfiguration('midfill').get<string>('server.source', ''),
    ignoreFocusOut: true,
  });
  for (const command of source?.trim() ? await askCommands(storage, source.trim()) : []) {
    if ((await runInTerminal(command)) !== 0) {
      return;
    }
  }
}

function ownEnvironment(storage: vscode.Uri): string {
  return join(storage.fsPath, 'environment');
}

/** Return the programs to run, one after the other, as the person picks them among those that are here. */
async function askCommands(storage: vscode.Uri, source: string): Promise<string[][]> {
  const python = windows ? 'python' : 'python3';
  const environment = ownEnvironment(storage);
  const install = [join(environment, binaries, 'python'), '-m', 'pip', 'install', source];
  const choices = [
    { label: 'uv', program: 'uv', commands: [['uv', 'tool', 'install', source]] },
    { label: 'pipx', program: 'pipx', commands: [['pipx', 'install', source]] },
    {
      label: "Python's venv, in the extension's own folder", program: python,
      commands: [[python, '-m', 'venv', environment], install],
    },
  ];
  const works = await Promise.all(choices.map(({ program }) => run(program, ['--version']).then(() => true, () => false)));
  const picked = await vscode.window.showQuickPick(choices.filter((_, index) => works[index]), {
    title: 'Install the midfill server with', placeHolder: 'Python 3.11 or newer is needed', ignoreFocusOut: true,
  });
  return picked?.commands ?? [];
}

/** Run a program as a task; returns its exit code. */
async function runInTerminal([command = '', ...words]: string[]): Promise<number | undefined> {
  const name = `install the server: ${command}`;
  const execution = new vscode.ProcessExecution(command, words);
  const ended = new Promise<number | undefined>((resolve) => {
    const listener = vscode.tasks.onDidEndTaskProcess((event) => {
      if (event.execution.task.name === name) {
        listener.dispose();
        resolve(event.exitCode);
      }
    });
  });
  await vscode.tasks.executeTask(new vscode.Task({ type: 'midfill' }, vscode.TaskScope.Workspace, name, 'midfill', execution));
  return ended;
}
