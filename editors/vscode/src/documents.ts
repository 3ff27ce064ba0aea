/** Read-only pages of Markdown that midfill fills: why a suggestion came about, and statistics. */
import * as vscode from 'vscode';

export class Pages implements vscode.TextDocumentContentProvider {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  /** Show a page beside the editor; a page that is open is replaced in place. */
  async show(name: string, text: string): Promise<void> {
    const uri = vscode.Uri.from({ scheme: 'midfill', path: `/${name}.md` });
    this.texts.set(uri.path, text);
    this.changed.fire(uri);
    // Where a page of ours is in front already, the next one takes its place.
    const command = vscode.window.activeTextEditor ? 'markdown.showPreviewToSide' : 'markdown.showPreview';
    await vscode.commands.executeCommand(command, uri);
  }
}
