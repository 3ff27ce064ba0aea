;; Opens FILE (the first argument) with the configuration in CONFIG (the second), types, and prints what it sees.
(setq user-emacs-directory (file-name-as-directory (make-temp-file "emacs" t))
      lsp-session-file (expand-file-name "session" user-emacs-directory)
      lsp-auto-guess-root t
      lsp-enable-file-watchers nil
      lsp-enable-suggest-server-download nil
      lsp-warn-no-matched-clients nil
      lsp-enable-snippet nil
      warning-minimum-level :error)
;; Unpacked, not installed: there are no autoloads.
(dolist (library '(lsp-lens lsp-modeline lsp-headerline lsp-diagnostics lsp-completion lsp-semantic-tokens))
  (require library nil t))
(load (cadr command-line-args-left) nil t)

(defun midfill-tests-wait (what holds)
  "Poll until HOLDS returns something, which is WHAT."
  (let ((end (+ (float-time) 60)) value)
    (while (not (setq value (funcall holds)))
      (when (> (float-time) end) (error "not in 60 s: %s" what))
      (accept-process-output nil 0.05))
    value))

(defun midfill-tests-ready ()
  "Whether the server has its engine."
  (let ((status (ignore-errors (lsp-request "midfill/status" nil))))
    (and status (equal "ready" (gethash "state" (gethash "engine" status))))))

(find-file (car command-line-args-left))
(lsp)
(midfill-tests-wait "a server" (lambda () (lsp-feature? "textDocument/inlineCompletion")))
(midfill-tests-wait "ready" #'midfill-tests-ready)
(goto-char (point-max))
(insert "    x = ")
(midfill-tests-wait
 "a suggestion"
 (lambda () (lsp-inline-completion-display) lsp-inline-completion--items))
(princ (format "drawn: %s\n" (substring-no-properties
                              (overlay-get lsp-inline-completion--overlay 'after-string))))
(princ (format "automatic: %s\n" (if lsp-inline-completion-mode "on" "off")))
(lsp-inline-completion-accept)
(princ (format "text: %s\n" (json-encode-string (buffer-substring-no-properties (point-min) (point-max)))))
(set-buffer-modified-p nil)
(kill-emacs 0)
